package mutations;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import redis.clients.authentication.core.Token;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;

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
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .user(token.getUser())
            .password(token.getValue())
            .build();
    var oneConnection = new ConnectionPoolConfig();
    oneConnection.setMaxTotal(1);

    try (var redis =
        RedisClient.builder()
            .hostAndPort(address())
            .clientConfig(config)
            .poolConfig(oneConnection)
            .build()) {
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

  private static HostAndPort address() {
    return new HostAndPort(
        System.getenv("REDIS_HOST"),
        Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
  }
}
