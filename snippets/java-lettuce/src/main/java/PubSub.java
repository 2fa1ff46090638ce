import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.ClientOptions.ReauthenticateBehavior;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/**
 * Publishes and subscribes on Azure Managed Redis while tokens are renewed, and counts that no
 * message is lost.
 */
public class PubSub {
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
        // Open connections sign in with each new token, a subscriber too: Lettuce speaks RESP3.
        client.setOptions(
            ClientOptions.builder()
                .reauthenticateBehavior(ReauthenticateBehavior.ON_NEW_CREDENTIALS)
                .build());
        try (var publisher = client.connect();
            var subscriber = client.connectPubSub()) {
          var counting = new Counting();
          subscriber.addListener(counting);
          subscriber.sync().subscribe("orders");

          int published = 0;
          while (!stopped.await(100, MILLISECONDS)) {
            publisher.sync().publish("orders", String.valueOf(published));
            published++;
          }
          // Its own message comes after all others.
          publisher.sync().publish("orders", Counting.LAST);
          if (!counting.finished.await(5, SECONDS) || counting.received != published) {
            throw new IllegalStateException(counting.received + " of " + published + " received");
          }
          System.out.println(published + " messages received, none lost");
        }
      }
    }
  }

  private static class Counting extends RedisPubSubAdapter<String, String> {
    static final String LAST = "last";
    final CountDownLatch finished = new CountDownLatch(1);
    volatile int received = 0;

    @Override
    public void message(String channel, String message) {
      if (message.equals(LAST)) {
        finished.countDown();
      } else if (message.equals(String.valueOf(received))) {
        received++;
      }
    }
  }

  // ANCHOR_END: shown
}
