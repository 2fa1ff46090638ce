#!/usr/bin/env dotnet
// Publishes and subscribes on Azure Managed Redis while tokens are renewed, until the program is told to
// stop, and counts that no message is lost.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using System.Runtime.InteropServices;
using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

using var stop = new CancellationTokenSource();
using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
void Stop(PosixSignalContext signal)
{
    signal.Cancel = true; // It is us who end the program.
    stop.Cancel();
}

// ANCHOR: shown
var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(credential);

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var subscriber = redis.GetSubscriber();
var orders = RedisChannel.Literal("orders");

var received = 0;
await subscriber.SubscribeAsync(orders, (_, _) => Interlocked.Increment(ref received));

var published = 0;
while (!stop.IsCancellationRequested)
{
    await subscriber.PublishAsync(orders, $"order {published}");
    published++;
    await Task.Delay(100);
}
// The answer comes after every message, for all is on one connection.
await subscriber.UnsubscribeAsync(orders);
if (received != published)
{
    throw new InvalidOperationException($"{published - received} of {published} messages were lost");
}
Console.WriteLine($"{received} messages received, none lost");
// ANCHOR_END: shown
