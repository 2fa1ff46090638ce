#!/usr/bin/env dotnet
// Speaks RESP2, in which publish/subscribe needs a connection of its own.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include ../EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST");
var port = Environment.GetEnvironmentVariable("REDIS_PORT");

var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(credential);
options.Protocol = RedisProtocol.Resp2;

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var received = 0;
var orders = RedisChannel.Literal("orders");
await redis.GetSubscriber().SubscribeAsync(orders, (_, _) => Interlocked.Increment(ref received));

var lost = new TaskCompletionSource<ConnectionFailedEventArgs>();
var back = new TaskCompletionSource<ConnectionFailedEventArgs>();
redis.ConnectionFailed += (_, it) => lost.TrySetResult(it);
redis.ConnectionRestored += (_, it) => back.TrySetResult(it);

var published = 0;
while (!lost.Task.IsCompleted || !back.Task.IsCompleted)
{
    await redis.GetDatabase().PublishAsync(orders, $"order {published}");
    published++;
}
await Task.Delay(TimeSpan.FromSeconds(1));
Console.WriteLine($"{lost.Task.Result.ConnectionType} connection lost: {lost.Task.Result.FailureType}");
Console.WriteLine($"{back.Task.Result.ConnectionType} connection is back");
Console.WriteLine($"messages lost: {published - received}");
