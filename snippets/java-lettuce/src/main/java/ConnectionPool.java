import static java.util.concurrent.TimeUnit.MILLISECONDS;

import io.lettuce.authx.TokenBasedRedisCredentialsProvider;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.ClientOptions.ReauthenticateBehavior;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.support.ConnectionPoolSupport;
import java.time.Duration;
import java.util.Collections;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.commons.pool2.impl.GenericObjectPoolConfig;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;

/** Many threads share a pool of connections to Azure Managed Redis while tokens are renewed. */
public class ConnectionPool {
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

  private static void run(CountDownLatch stopped) throws Exception {
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
      ExecutorService threads = Executors.newFixedThreadPool(40);
      try (var client = RedisClient.create(uri)) {
        // Open connections sign in with each new token. By default only new ones do.
        client.setOptions(
            ClientOptions.builder()
                .reauthenticateBehavior(ReauthenticateBehavior.ON_NEW_CREDENTIALS)
                .build());
        var four = new GenericObjectPoolConfig<StatefulRedisConnection<String, String>>();
        four.setMaxTotal(4);
        four.setMinIdle(4);
        try (var pool = ConnectionPoolSupport.createGenericObjectPool(client::connect, four)) {
          // Filled before the rush: many threads that wait for the first connections starve them.
          pool.preparePool();
          Callable<Integer> task =
              () -> {
                int commands = 0;
                while (!stopped.await(20, MILLISECONDS)) {
                  try (var connection = pool.borrowObject()) {
                    connection.sync().incrby("commands", 1);
                  }
                  commands++;
                }
                return commands;
              };
          int commands = 0;
          for (Future<Integer> result : threads.invokeAll(Collections.nCopies(40, task))) {
            commands += result.get();
          }
          System.out.println(commands + " commands of 40 tasks on 4 connections, none failed");
        }
      } finally {
        threads.shutdownNow();
      }
    }
    // ANCHOR_END: shown
  }
}
