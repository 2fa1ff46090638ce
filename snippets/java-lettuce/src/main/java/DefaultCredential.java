import com.azure.identity.DefaultAzureCredentialBuilder;
import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import java.time.Duration;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.AzureTokenAuthConfigBuilder;

/**
 * Signs in to Azure Managed Redis as whoever is signed in: on your machine you, through the Azure
 * CLI, and in Azure the application's managed identity.
 */
public class DefaultCredential {
  public static void main(String[] args) {
    // ANCHOR: shown
    // AZURE_TOKEN_CREDENTIALS says which of its ways to try: "dev", "prod", or one by its name.
    TokenAuthConfig tokens =
        AzureTokenAuthConfigBuilder.builder()
            .defaultAzureCredential(new DefaultAzureCredentialBuilder().build())
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
      try (var client = RedisClient.create(uri);
          var connection = client.connect()) {
        System.out.println(connection.sync().ping());
      }
    }
    // ANCHOR_END: shown
  }
}
