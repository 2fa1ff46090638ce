// Goes wrong: one request for a token fails when the next token is due. go-redis closes all
// connections, and go-redis-entraid gives out no token any more, even when Entra ID is back.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"sync/atomic"
	"time"

	entraid "github.com/redis/go-redis-entraid"
	"github.com/redis/go-redis-entraid/identity"
	"github.com/redis/go-redis-entraid/manager"
	"github.com/redis/go-redis/v9"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	managed, err := identity.NewManagedIdentityProvider(identity.ManagedIdentityProviderOptions{
		ManagedIdentityType: identity.SystemAssignedIdentity,
	})
	if err != nil {
		return err
	}
	entra := &outage{IdentityProvider: managed}
	tokens, err := manager.NewTokenManager(entra, manager.TokenManagerOptions{})
	if err != nil {
		return err
	}
	provider, err := entraid.NewCredentialsProvider(tokens, entraid.CredentialsProviderOptions{})
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{
		Addr:                         net.JoinHostPort(os.Getenv("REDIS_HOST"), os.Getenv("REDIS_PORT")),
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
		PoolSize:                     1,
	})

	entra.lasts.Store(true)
	for {
		answered := make(chan error, 1)
		go func() { answered <- client.Incr(ctx, "orders").Err() }()
		select {
		case err := <-answered:
			if err != nil {
				fmt.Println("incr:", err)
				entra.lasts.Store(false)
			}
		case <-time.After(5 * time.Second):
			return errors.New("incr: no answer for 5 seconds, although there are tokens again")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// outage stands for an Entra ID that gives out no token for a while.
type outage struct {
	entraid.IdentityProvider
	lasts atomic.Bool
}

func (o *outage) RequestToken(ctx context.Context) (entraid.IdentityProviderResponse, error) {
	if o.lasts.Load() {
		return nil, errors.New("503 Service Unavailable")
	}
	return o.IdentityProvider.RequestToken(ctx)
}
