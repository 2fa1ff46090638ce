import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;

/** Signs in to Azure Managed Redis with an access key, as most programs did until now. */
public class AccessKey {
  public static void main(String[] args) {
    var address =
        new HostAndPort(
            System.getenv("REDIS_HOST"),
            Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
    // ANCHOR: shown
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .password(System.getenv("REDIS_ACCESS_KEY"))
            .build();

    try (var redis = RedisClient.builder().hostAndPort(address).clientConfig(config).build()) {
      System.out.println(redis.ping());
    }
    // ANCHOR_END: shown
  }
}
