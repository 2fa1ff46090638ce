package mistakes;

import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClusterClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

/** Wrong: connects to the shards at the addresses that they announce. */
public class UnmappedNodes {
  public static void main(String[] args) {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
            // The default, a second, is short for the first: the program has only just started.
            .tokenRequestExecTimeoutInMs(10_000)
            .build();
    var signIn = new AuthXManager(tokens);
    HostAndPort cache = address();
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(signIn)
            .build();

    try (var redis =
        RedisClusterClient.builder().nodes(Set.of(cache)).clientConfig(config).build()) {
      for (int n = 0; n < 30; n++) {
        String key = "order:" + n;
        redis.set(key, String.valueOf(n));
        String stored = redis.get(key);
        if (!String.valueOf(n).equals(stored)) {
          throw new IllegalStateException("wrote " + n + " and read " + stored);
        }
      }
      System.out.println("30 keys written and read, wherever they are");
    } finally {
      signIn.stop();
    }
  }

  private static HostAndPort address() {
    return new HostAndPort(
        System.getenv("REDIS_HOST"),
        Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
  }
}
