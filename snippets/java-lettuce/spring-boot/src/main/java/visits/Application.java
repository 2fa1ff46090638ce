package visits;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.ClientOptions.ReauthenticateBehavior;
import io.lettuce.core.RedisCredentialsProvider;
import java.time.Duration;
import java.util.Set;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.data.redis.autoconfigure.LettuceClientConfigurationBuilderCustomizer;
import org.springframework.boot.data.redis.autoconfigure.LettuceClientOptionsBuilderCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.data.redis.connection.RedisConfiguration;
import org.springframework.data.redis.connection.lettuce.RedisCredentialsProviderFactory;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** A web application that counts its visitors in Azure Managed Redis. */
@SpringBootApplication
public class Application {
  public static void main(String[] args) {
    SpringApplication.run(Application.class, args);
  }

  // ANCHOR: shown
  @Bean
  TokenBasedRedisCredentialsProvider redisCredentials() {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
            // By default the sixth failure, counted from the start of the program, ends the
            // renewal.
            .maxAttemptsToRetry(1_000)
            .delayInMsToRetry(2_000)
            // The default, a second, is short for the first: the program has only just started.
            .tokenRequestExecTimeoutInMs(10_000)
            .build();
    var credentials = TokenBasedRedisCredentialsProvider.create(tokens);
    // Without a first token the application does not start. Why there is none is in the log.
    credentials.resolveCredentials().block(Duration.ofSeconds(30));
    return credentials;
  }

  /** Connections sign in with the newest token, in place of a user and a password. */
  @Bean
  LettuceClientConfigurationBuilderCustomizer signIn(TokenBasedRedisCredentialsProvider newest) {
    return client ->
        client.redisCredentialsProviderFactory(
            new RedisCredentialsProviderFactory() {
              @Override
              public RedisCredentialsProvider createCredentialsProvider(RedisConfiguration redis) {
                return newest;
              }
            });
  }

  /** Open connections sign in with each new token. By default only new ones do. */
  @Bean
  LettuceClientOptionsBuilderCustomizer renew() {
    return options -> options.reauthenticateBehavior(ReauthenticateBehavior.ON_NEW_CREDENTIALS);
  }

  @RestController
  static class Visits {
    private final StringRedisTemplate redis;

    Visits(StringRedisTemplate redis) {
      this.redis = redis;
    }

    @GetMapping("/")
    String visit() {
      return "visit " + redis.opsForValue().increment("visits", 1) + "\n";
    }
  }
  // ANCHOR_END: shown
}
