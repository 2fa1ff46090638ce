package mutations;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.SslVerifyMode;
import java.time.Duration;
import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.authentication.entraid.ManagedIdentityInfo.UserManagedIdentityType;

/** Must fail its judge: it trusts a certificate for any name. */
public class NoHostNameCheck {
  public static void main(String[] args) {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .userAssignedManagedIdentity(
                UserManagedIdentityType.CLIENT_ID, System.getenv("AZURE_CLIENT_ID"))
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
              .withVerifyPeer(SslVerifyMode.CA)
              .withAuthentication(credentials)
              .build();
      try (var client = RedisClient.create(uri);
          var connection = client.connect()) {
        System.out.println(connection.sync().ping());
      }
    }
  }
}
