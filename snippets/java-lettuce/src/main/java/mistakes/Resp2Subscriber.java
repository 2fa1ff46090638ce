package mistakes;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.ClientOptions.ReauthenticateBehavior;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.protocol.ProtocolVersion;
import java.time.Duration;
import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** Wrong: subscribes with RESP2, with which a subscriber cannot sign in again. */
public class Resp2Subscriber {
  public static void main(String[] args) {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
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
      try (var client = RedisClient.create(uri)) {
        client.setOptions(
            ClientOptions.builder()
                .protocolVersion(ProtocolVersion.RESP2)
                .reauthenticateBehavior(ReauthenticateBehavior.ON_NEW_CREDENTIALS)
                .build());
        var subscriber = client.connectPubSub();
        System.out.println(subscriber.sync().ping());
      }
    }
  }
}
