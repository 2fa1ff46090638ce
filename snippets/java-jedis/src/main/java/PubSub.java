import static java.util.concurrent.TimeUnit.MILLISECONDS;

import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

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
    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(signIn)
            .build();
    // A subscriber signs in once, with the newest token.
    var subscribing =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .credentialsProvider(signIn)
            .resp3()
            .build();
    Set<String> received = ConcurrentHashMap.newKeySet();

    var oneConnection = new ConnectionPoolConfig();
    oneConnection.setMaxTotal(1);

    try (var redis =
        RedisClient.builder()
            .hostAndPort(address())
            .clientConfig(config)
            .poolConfig(oneConnection)
            .build()) {
      var renewed = new AtomicBoolean();
      signIn.addPostAuthenticationHook(token -> renewed.set(true));
      var current = Subscription.begin(subscribing, received);
      int published = 0;
      while (!stopped.await(100, MILLISECONDS)) {
        redis.publish("orders", String.valueOf(published));
        published++;
        if (renewed.getAndSet(false)) {
          // Another takes over, on a connection of its own, while the old token is still good.
          // What is published in between comes twice.
          var next = Subscription.begin(subscribing, received);
          current.unsubscribe();
          current = next;
        }
      }
      for (int waited = 0; received.size() < published && waited < 50; waited++) {
        Thread.sleep(100);
      }
      current.unsubscribe();
      if (received.size() < published) {
        throw new IllegalStateException(received.size() + " of " + published + " received");
      }
      System.out.println(published + " messages received, none lost");
    } finally {
      signIn.stop();
    }
  }

  private static class Subscription extends JedisPubSub {
    private final CompletableFuture<Void> confirmed = new CompletableFuture<>();
    private final Set<String> received;

    private Subscription(Set<String> received) {
      this.received = received;
    }

    /** Returns when nothing that is published from now on is missed. */
    static Subscription begin(JedisClientConfig config, Set<String> received) {
      var subscription = new Subscription(received);
      var listening =
          CompletableFuture.runAsync(
              () -> {
                try (var connection = new Jedis(address(), config)) {
                  connection.subscribe(subscription, "orders");
                }
              });
      CompletableFuture.anyOf(subscription.confirmed, listening).join();
      return subscription;
    }

    @Override
    public void onSubscribe(String channel, int subscribed) {
      confirmed.complete(null);
    }

    @Override
    public void onMessage(String channel, String message) {
      received.add(message);
    }
  }

  // ANCHOR_END: shown

  private static HostAndPort address() {
    return new HostAndPort(
        System.getenv("REDIS_HOST"),
        Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
  }
}
