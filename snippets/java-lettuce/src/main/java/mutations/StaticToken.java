package mutations;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.ClientOptions.ReauthenticateBehavior;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import redis.clients.authentication.core.Token;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** Must fail its judge: a token is kept as if it were a password. */
public class StaticToken {
  public static void main(String[] args) throws Exception {
    // After Ctrl-C or SIGTERM the virtual machine waits for what run still has to do.
    var stopped = new CountDownLatch(1);
    var done = new CompletableFuture<Void>();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  stopped.countDown();
                  done.join();
                }));
    try {
      run(stopped);
    } finally {
      done.complete(null);
    }
  }

  private static void run(CountDownLatch stopped) throws InterruptedException {
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

    Token token = tokens.getIdentityProviderConfig().getProvider().requestToken();
    var uri =
        RedisURI.builder()
            .withHost(System.getenv("REDIS_HOST"))
            .withPort(Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")))
            .withSsl(true)
            .withAuthentication(token.getUser(), token.getValue())
            .build();
    try (var client = RedisClient.create(uri)) {
      // Open connections sign in with each new token. By default only new ones do.
      client.setOptions(
          ClientOptions.builder()
              .reauthenticateBehavior(ReauthenticateBehavior.ON_NEW_CREDENTIALS)
              .build());
      try (var connection = client.connect()) {
        var redis = connection.sync();
        int roundTrips = 0;
        while (!stopped.await(150, MILLISECONDS)) {
          String written = String.valueOf(roundTrips);
          redis.set("round-trips", written);
          String stored = redis.get("round-trips");
          if (!written.equals(stored)) {
            throw new IllegalStateException("wrote " + written + " and read " + stored);
          }
          roundTrips++;
        }
        System.out.println(roundTrips + " round trips on one connection, none failed.");
      }
    }
  }
}
