package mistakes;

import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import redis.clients.authentication.core.IdentityProvider;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;
import redis.clients.jedis.exceptions.JedisException;

/** Wrong: leaves it at five retries, which have to last for the whole life of the program. */
public class RenewalEnds {
  public static void main(String[] args) throws InterruptedException {
    IdentityProvider entra =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
            .tokenRequestExecTimeoutInMs(10_000)
            .build()
            .getIdentityProviderConfig()
            .getProvider();

    // Every second request fails, as if the network were gone for a moment, and the next one is
    // answered.
    var requests = new AtomicInteger();
    IdentityProvider unreliable =
        () -> {
          if (requests.incrementAndGet() % 2 == 0) {
            throw new IllegalStateException("503 Service Unavailable");
          }
          return entra.requestToken();
        };
    // Except for the moment of the renewal, these are the defaults.
    TokenAuthConfig tokens =
        TokenAuthConfig.builder()
            .identityProviderConfig(() -> unreliable)
            .expirationRefreshRatio(0.2F)
            .tokenRequestExecTimeoutInMs(10_000)
            .maxAttemptsToRetry(5)
            .delayInMsToRetry(100)
            .build();

    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(signIn)
            .build();
    var address =
        new HostAndPort(System.getenv("REDIS_HOST"), Integer.parseInt(System.getenv("REDIS_PORT")));
    var oneConnection = new ConnectionPoolConfig();
    oneConnection.setMaxTotal(1);
    try (var redis =
        RedisClient.builder()
            .hostAndPort(address)
            .clientConfig(config)
            .poolConfig(oneConnection)
            .build()) {
      while (true) {
        redis.incrBy("orders", 1);
        Thread.sleep(50);
      }
    } catch (JedisException e) {
      System.out.println("after " + requests + " requests for a token no more were made");
      throw e;
    } finally {
      signIn.stop();
    }
  }
}
