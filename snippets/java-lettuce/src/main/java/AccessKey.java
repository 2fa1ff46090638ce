import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;

/** Signs in to Azure Managed Redis with an access key, as most programs did until now. */
public class AccessKey {
  public static void main(String[] args) {
    // ANCHOR: shown
    var uri =
        RedisURI.builder()
            .withHost(System.getenv("REDIS_HOST"))
            .withPort(Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")))
            .withSsl(true)
            .withPassword(System.getenv("REDIS_ACCESS_KEY").toCharArray())
            .build();
    try (var client = RedisClient.create(uri);
        var connection = client.connect()) {
      System.out.println(connection.sync().ping());
    }
    // ANCHOR_END: shown
  }
}
