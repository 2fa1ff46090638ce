// Goes wrong: asks for a new token long before the old one expires, and gets the old one.
package main

import (
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
				TokenManagerOptions: manager.TokenManagerOptions{ExpirationRefreshRatio: 0.005},
			},
			ManagedIdentityProviderOptions: identity.ManagedIdentityProviderOptions{
				ManagedIdentityType: identity.SystemAssignedIdentity,
			},
		})
	if err != nil {
		return err
	}
	renewed := make(renewals, 1)
	first, ignore, err := provider.Subscribe(renewed)
	if err != nil {
		return err
	}
	defer ignore()

	client := redis.NewClient(&redis.Options{
		Addr:                         net.JoinHostPort(os.Getenv("REDIS_HOST"), os.Getenv("REDIS_PORT")),
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
	})
	defer client.Close()
	for told := false; ; {
		select {
		case next := <-renewed:
			if !told {
				fmt.Println("the new token is another one:", next.RawCredentials() != first.RawCredentials())
				told = true
			}
		case <-time.After(50 * time.Millisecond):
		case <-stopped.Done():
			return nil
		}
		if err := client.Ping(ctx).Err(); err != nil {
			return err
		}
	}
}

type renewals chan auth.Credentials

func (r renewals) OnNext(credentials auth.Credentials) { r <- credentials }
func (r renewals) OnError(err error)                   { log.Print(err) }
