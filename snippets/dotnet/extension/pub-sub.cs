#!/usr/bin/env dotnet
// Publishes and subscribes on Azure Managed Redis while tokens are renewed, until the program is told to
// stop, and counts that no message is lost.
#:package Microsoft.Azure.StackExchangeRedis@3.4.0
#:package StackExchange.Redis@3.4.35

using System.Runtime.InteropServices;
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
var options = ConfigurationOptions.Parse($"{host}:{port}");
// Otherwise a refused token is not told.
options.AbortOnConnectFail = true;
// One connection for everything. A second one would not be signed in again.
options.Protocol = RedisProtocol.Resp3;
options.SharedSubscriptionConnection = true;
await options.ConfigureForAzureWithSystemAssignedManagedIdentityAsync();

// Both get their tokens from the same options.
await using var publisher = await ConnectionMultiplexer.ConnectAsync(options);
await using var subscriber = await ConnectionMultiplexer.ConnectAsync(options);
var orders = RedisChannel.Literal("orders");

var received = 0;
await subscriber.GetSubscriber().SubscribeAsync(orders, (_, _) => Interlocked.Increment(ref received));

var published = 0;
while (!stop.IsCancellationRequested)
{
    await publisher.GetSubscriber().PublishAsync(orders, $"order {published}");
    published++;
    await Task.Delay(100);
}
// The answer comes after every message on this connection.
await subscriber.GetSubscriber().UnsubscribeAsync(orders);
if (received != published)
{
    throw new InvalidOperationException($"{published - received} of {published} messages were lost");
}
Console.WriteLine($"{received} messages received, none lost");
// ANCHOR_END: shown
