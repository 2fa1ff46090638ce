package visits;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.ClientOptions.ReauthenticateBehavior;
import io.lettuce.core.RedisCredentialsProvider;
import java.time.Duration;
import java.util.Set;
import org.springframework.boot.data.redis.autoconfigure.LettuceClientConfigurationBuilderCustomizer;
import org.springframework.boot.data.redis.autoconfigure.LettuceClientOptionsBuilderCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.data.redis.connection.RedisConfiguration;
import org.springframework.data.redis.connection.lettuce.RedisCredentialsProviderFactory;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** Has Spring's connections sign in with Microsoft Entra ID, and again with each new token. */
// ANCHOR: shown
@Configuration(proxyBeanMethods = false)
class SignIn {
  @Bean
  TokenBasedRedisCredentialsProvider credentials() {
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

  @Bean
  LettuceClientConfigurationBuilderCustomizer signIn(
      TokenBasedRedisCredentialsProvider credentials) {
    return client ->
        client.redisCredentialsProviderFactory(
            new RedisCredentialsProviderFactory() {
              @Override
              public RedisCredentialsProvider createCredentialsProvider(RedisConfiguration redis) {
                return credentials;
              }
            });
  }

  @Bean
  LettuceClientOptionsBuilderCustomizer signInAgain() {
    return options -> options.reauthenticateBehavior(ReauthenticateBehavior.ON_NEW_CREDENTIALS);
  }
}
// ANCHOR_END: shown
