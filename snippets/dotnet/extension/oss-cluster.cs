#!/usr/bin/env dotnet
// Writes and reads keys on every shard of an Azure Managed Redis with the cluster policy OSSCluster.
#:package Microsoft.Azure.StackExchangeRedis@3.4.0
#:package StackExchange.Redis@3.4.35

using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
// A name, not an address: the client expects it in the certificate of every shard, whatever
// address the cluster announces.
var options = ConfigurationOptions.Parse($"{host}:{port}");
// Otherwise a refused token is not told.
options.AbortOnConnectFail = true;
// One connection for everything. A second one would not be signed in again.
options.Protocol = RedisProtocol.Resp3;
options.SharedSubscriptionConnection = true;
await options.ConfigureForAzureWithSystemAssignedManagedIdentityAsync();

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var database = redis.GetDatabase();

var keys = Enumerable.Range(0, 30).Select(n => $"key:{n}").ToArray();
await Task.WhenAll(keys.Select(key => database.StringSetAsync(key, $"value of {key}")));
var values = await Task.WhenAll(keys.Select(key => database.StringGetAsync(key)));
if (!values.SequenceEqual(keys.Select(key => (RedisValue)$"value of {key}")))
{
    throw new InvalidOperationException("a value is not what was written");
}
Console.WriteLine($"{keys.Length} keys written and read, wherever they are");
// ANCHOR_END: shown
