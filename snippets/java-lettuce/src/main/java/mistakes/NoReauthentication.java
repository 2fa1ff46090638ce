package mistakes;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.ClientOptions.ReauthenticateBehavior;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import java.time.Duration;
import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** Wrong: leaves it at the default, with which an open connection does not sign in again. */
public class NoReauthentication {
  public static void main(String[] args) throws InterruptedException {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
            // These tokens live for seconds only.
            .lowerRefreshBoundMillis(1_000)
            .tokenRequestExecTimeoutInMs(10_000)
            .build();

    try (var credentials = TokenBasedRedisCredentialsProvider.create(tokens)) {
      credentials.resolveCredentials().block(Duration.ofSeconds(30));
      var uri =
          RedisURI.builder()
              .withHost(System.getenv("REDIS_HOST"))
              .withPort(Integer.parseInt(System.getenv("REDIS_PORT")))
              .withSsl(true)
              .withAuthentication(credentials)
              .build();
      try (var client = RedisClient.create(uri);
          var other = RedisClient.create(uri)) {
        // Only what publishes is told to sign in again.
        other.setOptions(
            ClientOptions.builder()
                .reauthenticateBehavior(ReauthenticateBehavior.ON_NEW_CREDENTIALS)
                .build());
        var subscriber = client.connectPubSub();
        var publisher = other.connect();
        subscriber.sync().subscribe("orders");
        long lost = 0;
        for (int n = 0; n < 1_000; n++) {
          // How many have received it.
          if (publisher.sync().publish("orders", String.valueOf(n)) == 0) {
            lost++;
          }
          Thread.sleep(10);
        }
        System.out.println(lost + " of 1000 messages had nobody to receive them");
      }
    }
  }
}
