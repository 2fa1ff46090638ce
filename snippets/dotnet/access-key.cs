#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis with an access key, as most programs did until now.
#:package StackExchange.Redis@3.4.35

using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST") ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Ssl = true;
options.Password = Environment.GetEnvironmentVariable("REDIS_ACCESS_KEY");

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown
