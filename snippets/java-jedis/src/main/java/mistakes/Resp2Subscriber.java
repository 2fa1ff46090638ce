package mistakes;

import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

/** Wrong: subscribes without RESP3. */
public class Resp2Subscriber {
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
    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(signIn)
            .resp2()
            .build();

    try (var redis = RedisClient.builder().hostAndPort(address()).clientConfig(config).build()) {
      var subscriber = new Counting();
      var listening = CompletableFuture.runAsync(() -> redis.subscribe(subscriber, "orders"));
      // Or that it does not come to that.
      CompletableFuture.anyOf(subscriber.ready, listening).join();

      int published = 0;
      while (!stopped.await(100, MILLISECONDS)) {
        redis.publish("orders", String.valueOf(published));
        published++;
      }
      // Its own message comes after all others.
      redis.publish("orders", Counting.LAST);
      listening.orTimeout(5, SECONDS).join();
      if (subscriber.received != published) {
        throw new IllegalStateException(subscriber.received + " of " + published + " received");
      }
      System.out.println(published + " messages received, none lost");
    } finally {
      signIn.stop();
    }
  }

  private static class Counting extends JedisPubSub {
    static final String LAST = "last";
    final CompletableFuture<Void> ready = new CompletableFuture<>();
    volatile int received = 0;

    @Override
    public void onSubscribe(String channel, int subscribed) {
      ready.complete(null);
    }

    @Override
    public void onMessage(String channel, String message) {
      if (message.equals(LAST)) {
        unsubscribe();
      } else if (message.equals(String.valueOf(received))) {
        received++;
      }
    }
  }

  private static HostAndPort address() {
    return new HostAndPort(
        System.getenv("REDIS_HOST"),
        Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
  }
}
