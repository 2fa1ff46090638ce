// Publishes and subscribes on Azure Managed Redis while tokens are renewed, until it is told to stop,
// and counts that no message is lost.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
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
		PoolSize:                     1,
	})
	defer client.Close()

	// go-redis does not sign in again where it has subscribed. So subscribe anew, on another
	// connection, as soon as there is a new token and while the old one is still good.
	renewed := make(renewals, 1)
	_, ignore, err := provider.Subscribe(renewed)
	if err != nil {
		return err
	}
	defer ignore()

	current, err := subscribe(ctx, client)
	if err != nil {
		return err
	}
	var next *redis.PubSub
	every := time.NewTicker(100 * time.Millisecond)
	published, received := 0, 0
	var patience <-chan time.Time
	for patience == nil || received < published {
		select {
		case <-every.C:
			if err := client.Publish(ctx, "orders", published).Err(); err != nil {
				return err
			}
			published++
		case event := <-current.ChannelWithSubscriptions():
			switch event := event.(type) {
			case *redis.Message:
				n, err := strconv.Atoi(event.Payload)
				if err != nil || n > received {
					return fmt.Errorf("expected %d and received %s", received, event.Payload)
				}
				// What is published during the change comes on both connections.
				if n == received {
					received++
				}
			case *redis.Subscription:
				if event.Kind == "unsubscribe" {
					current.Close()
					current = next
				}
			}
		case <-renewed:
			if next, err = subscribe(ctx, client); err != nil {
				return err
			}
			if err := current.Unsubscribe(ctx, "orders"); err != nil {
				return err
			}
		case <-stopped.Done():
			every.Stop()
			stopped = context.WithoutCancel(stopped)
			patience = time.After(5 * time.Second)
		case <-patience:
			return fmt.Errorf("%d of %d messages received", received, published)
		}
	}
	fmt.Printf("%d messages received, none lost\n", received)
	return current.Close()
}

// renewals tells that there is a new token.
type renewals chan struct{}

func (r renewals) OnNext(auth.Credentials) { r <- struct{}{} }
func (r renewals) OnError(err error)       { log.Printf("no new token: %v", err) }

func subscribe(ctx context.Context, client *redis.Client) (*redis.PubSub, error) {
	subscription := client.Subscribe(ctx, "orders")
	// Nothing is missed from the confirmation on.
	if _, err := subscription.Receive(ctx); err != nil {
		return nil, errors.Join(err, subscription.Close())
	}
	return subscription, nil
}

// ANCHOR_END: shown
