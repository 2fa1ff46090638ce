#!/usr/bin/env dotnet
// Writes and reads keys on every shard of an Azure Managed Redis with the cluster policy OSSCluster.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
// A name, not an address: the client expects it in the certificate of every shard, whatever
// address the cluster announces.
var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(credential);

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
