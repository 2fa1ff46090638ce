import com.azure.identity.DefaultAzureCredentialBuilder;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.AzureTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

/**
 * Signs in to Azure Managed Redis as whoever is signed in: on your machine you, through the Azure
 * CLI, and in Azure the application's managed identity.
 */
public class DefaultCredential {
  public static void main(String[] args) {
    var address =
        new HostAndPort(
            System.getenv("REDIS_HOST"),
            Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
    // ANCHOR: shown
    // AZURE_TOKEN_CREDENTIALS says which of its ways to try: "dev", "prod", or one by its name.
    TokenAuthConfig tokens =
        AzureTokenAuthConfigBuilder.builder()
            .defaultAzureCredential(new DefaultAzureCredentialBuilder().build())
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
    // ANCHOR_END: shown
  }
}
