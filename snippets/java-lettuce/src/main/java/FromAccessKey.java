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

/**
 * Signs in to Azure Managed Redis with a token in place of an access key, and goes on while access
 * keys are turned off, until it is told to stop.
 */
public class FromAccessKey {
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
    // ANCHOR: shown
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
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
              // In place of withPassword.
              .withAuthentication(credentials)
              .build();
      // Turning access keys off drops every connection, those that signed in with a token too. The
      // client connects again, signs in with the present token and repeats what had no answer yet.
      try (var client = RedisClient.create(uri);
          var connection = client.connect()) {
        var redis = connection.sync();
        int roundTrips = 0;
        while (!stopped.await(100, MILLISECONDS)) {
          String written = String.valueOf(roundTrips);
          redis.set("round-trips", written);
          String stored = redis.get("round-trips");
          if (!written.equals(stored)) {
            throw new IllegalStateException("wrote " + written + " and read " + stored);
          }
          roundTrips++;
        }
        System.out.println(roundTrips + " round trips, none lost");
      }
    }
    // ANCHOR_END: shown
  }
}
