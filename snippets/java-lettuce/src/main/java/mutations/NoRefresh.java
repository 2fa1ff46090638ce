package mutations;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** Must fail its judge: an open connection does not sign in again. */
public class NoRefresh {
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
      try (var client = RedisClient.create(uri)) {
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
}
