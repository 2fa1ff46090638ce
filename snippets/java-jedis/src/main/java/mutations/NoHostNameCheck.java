package mutations;

import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.authentication.entraid.ManagedIdentityInfo.UserManagedIdentityType;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.SslVerifyMode;
import redis.clients.jedis.authentication.AuthXManager;

/** Must fail its judge: it trusts a certificate for any name. */
public class NoHostNameCheck {
  public static void main(String[] args) {
    var address =
        new HostAndPort(
            System.getenv("REDIS_HOST"),
            Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .userAssignedManagedIdentity(
                UserManagedIdentityType.CLIENT_ID, System.getenv("AZURE_CLIENT_ID"))
            // The default, a second, is short for the first: the program has only just started.
            .tokenRequestExecTimeoutInMs(10_000)
            .build();
    // Fetches a token when the client is built, and the next one before it expires.
    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.builder().sslVerifyMode(SslVerifyMode.CA).build())
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
