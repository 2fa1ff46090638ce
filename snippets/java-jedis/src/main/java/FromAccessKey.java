import static java.util.concurrent.TimeUnit.MILLISECONDS;

import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;
import redis.clients.jedis.exceptions.JedisConnectionException;

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
    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            // In place of password.
            .authXManager(signIn)
            .build();

    try (var redis = RedisClient.builder().hostAndPort(address()).clientConfig(config).build()) {
      int roundTrips = 0;
      while (!stopped.await(100, MILLISECONDS)) {
        String stored;
        try {
          stored = roundTrip(redis, roundTrips);
        } catch (JedisConnectionException e) {
          // Turning access keys off drops every connection, those that signed in with a token too.
          // The next command opens another. This one may be repeated: it comes to the same.
          stored = roundTrip(redis, roundTrips);
        }
        if (!stored.equals(String.valueOf(roundTrips))) {
          throw new IllegalStateException("wrote " + roundTrips + " and read " + stored);
        }
        roundTrips++;
      }
      System.out.println(roundTrips + " round trips, none lost");
    } finally {
      signIn.stop();
    }
    // ANCHOR_END: shown
  }

  private static String roundTrip(RedisClient redis, int number) {
    redis.set("round-trips", String.valueOf(number));
    return redis.get("round-trips");
  }

  private static HostAndPort address() {
    return new HostAndPort(
        System.getenv("REDIS_HOST"),
        Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
  }
}
