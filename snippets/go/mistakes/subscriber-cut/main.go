// Goes wrong: a subscription ends with the token that its connection signed in with. go-redis
// subscribes again, and what was published in between is lost.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"

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
		Addr:                         net.JoinHostPort(os.Getenv("REDIS_HOST"), os.Getenv("REDIS_PORT")),
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
	})
	defer client.Close()

	subscription := client.Subscribe(ctx, "orders")
	defer subscription.Close()
	if _, err := subscription.Receive(ctx); err != nil {
		return err
	}
	go func() {
		for n := 0; ; n++ {
			client.Publish(ctx, "orders", n)
		}
	}()

	var failed error
	for expected := 0; ; {
		received, err := subscription.Receive(ctx)
		if err != nil {
			failed = err
			continue
		}
		message, ok := received.(*redis.Message)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(message.Payload)
		if err != nil {
			return err
		}
		if n > expected {
			fmt.Println("receive:", failed)
			fmt.Printf("subscribed again, %d messages lost\n", n-expected)
			return nil
		}
		expected = n + 1
	}
}
