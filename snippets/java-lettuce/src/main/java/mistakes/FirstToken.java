package mistakes;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** Wrong: connects without waiting for the first token. */
public class FirstToken {
  public static void main(String[] args) throws Exception {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .clientId(System.getenv("AZURE_CLIENT_ID"))
            .secret("not-the-secret")
            .authority("https://login.microsoftonline.com/" + System.getenv("AZURE_TENANT_ID"))
            .tokenRequestExecTimeoutInMs(10_000)
            .build();

    var credentials = TokenBasedRedisCredentialsProvider.create(tokens);
    var uri =
        RedisURI.builder()
            .withHost(System.getenv("REDIS_HOST"))
            .withPort(Integer.parseInt(System.getenv("REDIS_PORT")))
            .withSsl(true)
            .withTimeout(Duration.ofSeconds(2))
            .withAuthentication(credentials)
            .build();
    var connecting = CompletableFuture.supplyAsync(() -> RedisClient.create(uri).connect());
    try {
      connecting.get(20, TimeUnit.SECONDS);
    } catch (TimeoutException e) {
      System.out.println("connect() has not returned after 20 seconds, with a timeout of two");
      System.exit(1);
    }
  }
}
