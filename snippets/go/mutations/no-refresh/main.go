// Must fail its judge: no connection signs in again.
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
	"syscall"
	"time"

	entraid "github.com/redis/go-redis-entraid"
	"github.com/redis/go-redis-entraid/identity"
	"github.com/redis/go-redis-entraid/manager"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"
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

	provider, err := entraid.NewManagedIdentityCredentialsProvider(
		entraid.ManagedIdentityCredentialsProviderOptions{
			CredentialsProviderOptions: entraid.CredentialsProviderOptions{
				TokenManagerOptions: manager.TokenManagerOptions{
					LowerRefreshBound: 4 * time.Minute,
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
		StreamingCredentialsProvider: deaf{provider},
		PoolSize:                     1,
	})
	defer client.Close()

	every := time.NewTicker(150 * time.Millisecond)
	defer every.Stop()
	for roundTrips := 0; ; roundTrips++ {
		select {
		case <-every.C:
		case <-stopped.Done():
			fmt.Printf("%d round trips, none failed\n", roundTrips)
			return nil
		}
		if err := client.Set(ctx, "round-trips", roundTrips, 0).Err(); err != nil {
			return err
		}
		stored, err := client.Get(ctx, "round-trips").Int()
		if err != nil {
			return err
		}
		if stored != roundTrips {
			return fmt.Errorf("wrote %d and read %d", roundTrips, stored)
		}
	}
}

// deaf tells connections of no new token.
type deaf struct {
	auth.StreamingCredentialsProvider
}

func (d deaf) Subscribe(auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	return d.StreamingCredentialsProvider.Subscribe(d)
}

func (deaf) OnNext(auth.Credentials) {}
func (deaf) OnError(error)           {}
