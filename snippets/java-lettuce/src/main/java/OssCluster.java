import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.RedisURI;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.internal.HostAndPort;
import io.lettuce.core.resource.ClientResources;
import io.lettuce.core.resource.DnsResolvers;
import io.lettuce.core.resource.MappingSocketAddressResolver;
import java.time.Duration;
import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/**
 * Reads and writes across the shards of an Azure Managed Redis with the clustering policy
 * OSSCluster.
 */
public class OssCluster {
  public static void main(String[] args) {
    // ANCHOR: shown
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
      // The shards announce IP addresses, and the certificate names the host: reach each by that.
      var byName =
          MappingSocketAddressResolver.create(
              DnsResolvers.UNRESOLVED, shard -> HostAndPort.of(uri.getHost(), shard.getPort()));
      var resources = ClientResources.builder().socketAddressResolver(byName).build();
      try (var client = RedisClusterClient.create(resources, uri);
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
      } finally {
        resources.shutdown().awaitUninterruptibly();
      }
    }
    // ANCHOR_END: shown
  }
}
