package mistakes;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.RedisURI;
import io.lettuce.core.cluster.RedisClusterClient;
import java.time.Duration;
import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

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

    try (var credentials = TokenBasedRedisCredentialsProvider.create(tokens)) {
      // Without a first token connect() would wait for ever. Why there is none is in the log.
      credentials.resolveCredentials().block(Duration.ofSeconds(30));

      var uri =
          RedisURI.builder()
              .withHost(System.getenv("REDIS_HOST"))
              .withPort(Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")))
              .withSsl(true)
              .withAuthentication(credentials)
              .build();
      try (var client = RedisClusterClient.create(uri);
          var connection = client.connect()) {
        var redis = connection.sync();
        for (int n = 0; n < 30; n++) {
          String key = "order:" + n;
          redis.set(key, String.valueOf(n));
          String stored = redis.get(key);
          if (!String.valueOf(n).equals(stored)) {
            throw new IllegalStateException("wrote " + n + " and read " + stored);
          }
        }
        System.out.println("30 keys written and read, wherever they are");
      }
    }
  }
}
