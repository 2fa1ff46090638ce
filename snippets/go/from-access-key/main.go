// Signs in to Azure Managed Redis with a token in place of an access key, and goes on while access
// keys are turned off, until the program is told to stop.
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
	"github.com/redis/go-redis/v9"
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
			ManagedIdentityProviderOptions: identity.ManagedIdentityProviderOptions{
				ManagedIdentityType: identity.SystemAssignedIdentity,
			},
		})
	if err != nil {
		return err
	}

	client := redis.NewClient(&redis.Options{
		Addr:      net.JoinHostPort(os.Getenv("REDIS_HOST"), cmp.Or(os.Getenv("REDIS_PORT"), "10000")),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		// In place of Password.
		StreamingCredentialsProvider: provider,
	})
	defer client.Close()

	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for roundTrips := 0; ; roundTrips++ {
		select {
		case <-every.C:
		case <-stopped.Done():
			fmt.Printf("%d round trips, none lost\n", roundTrips)
			return nil
		}
		// Turning access keys off drops every connection, those that signed in with a token too.
		// The client then connects again, signs in with the present token and repeats the command.
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
	// ANCHOR_END: shown
}
