package mistakes;

import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

/** Wrong: says nothing of what the token is for. */
public class NoScopes {
  public static void main(String[] args) {
    var address =
        new HostAndPort(
            System.getenv("REDIS_HOST"),
            Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .systemAssignedManagedIdentity()
            // The default, a second, is short for the first: the program has only just started.
            .tokenRequestExecTimeoutInMs(10_000)
            .build();
    // Fetches a token when the client is built, and the next one before it expires.
    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(signIn)
            .build();

    try (var redis = RedisClient.builder().hostAndPort(address).clientConfig(config).build()) {
      System.out.println(redis.ping());
    } finally {
      // Its threads would keep the program running if there is no token at the start.
      signIn.stop();
    }
  }
}
