package mistakes;

import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

/** Wrong: leaves it to Jedis to sign a subscriber in again. */
public class SubscriberSignsIn {
  public static void main(String[] args) {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
            .tokenRequestExecTimeoutInMs(10_000)
            .build();
    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(signIn)
            .resp3()
            .build();
    var address =
        new HostAndPort(System.getenv("REDIS_HOST"), Integer.parseInt(System.getenv("REDIS_PORT")));
    try (var redis = RedisClient.builder().hostAndPort(address).clientConfig(config).build()) {
      redis.subscribe(new JedisPubSub() {}, "orders");
    } finally {
      signIn.stop();
    }
  }
}
