// A web application that counts its visitors in Azure Managed Redis. It serves at the port that PORT
// names, as App Service wants it.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
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
	// One for all requests: it is a pool, and safe for use by many goroutines.
	client := redis.NewClient(&redis.Options{
		Addr:                         net.JoinHostPort(os.Getenv("REDIS_HOST"), cmp.Or(os.Getenv("REDIS_PORT"), "10000")),
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
	})
	defer client.Close()

	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		visits, err := client.Incr(r.Context(), "visits").Result()
		if err != nil {
			log.Printf("the visit was not counted: %v", err)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "visit %d\n", visits)
	})

	server := &http.Server{
		Addr:              ":" + cmp.Or(os.Getenv("PORT"), "8080"),
		Handler:           routes,
		ReadHeaderTimeout: 5 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-stopped.Done():
		return server.Shutdown(ctx)
	}
	// ANCHOR_END: shown
}
