// Many goroutines share a pool of connections to Azure Managed Redis while tokens are renewed, until
// the program is told to stop.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	entraid "github.com/redis/go-redis-entraid"
	"github.com/redis/go-redis-entraid/identity"
	"github.com/redis/go-redis-entraid/manager"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	stopped, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()

	// ANCHOR: shown
	provider, err := entraid.NewManagedIdentityCredentialsProvider(
		entraid.ManagedIdentityCredentialsProviderOptions{
			CredentialsProviderOptions: entraid.CredentialsProviderOptions{
				TokenManagerOptions: manager.TokenManagerOptions{
					LowerRefreshBound: 4 * time.Minute,
					// By default one failed request ends the renewal for good.
					RetryOptions: manager.RetryOptions{
						IsRetryable: func(error) bool { return true },
						MaxAttempts: 100,
					},
				},
			},
			ManagedIdentityProviderOptions: identity.ManagedIdentityProviderOptions{
				ManagedIdentityType: identity.SystemAssignedIdentity,
			},
		})
	if err != nil {
		return err
	}

	client := redis.NewClient(&redis.Options{
		Addr:                         net.JoinHostPort(os.Getenv("REDIS_HOST"), cmp.Or(os.Getenv("REDIS_PORT"), "10000")),
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
		PoolSize:                     4,
	})
	defer client.Close()

	var commands atomic.Int64
	group, failed := errgroup.WithContext(stopped)
	for task := range 40 {
		group.Go(func() error {
			for failed.Err() == nil {
				if err := client.Incr(ctx, fmt.Sprintf("task:%d", task)).Err(); err != nil {
					return err
				}
				commands.Add(1)
				time.Sleep(20 * time.Millisecond)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Printf("%d commands of 40 goroutines through a pool of 4, none failed\n", commands.Load())
	// ANCHOR_END: shown
	return nil
}
