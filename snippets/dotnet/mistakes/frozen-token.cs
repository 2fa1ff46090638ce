#!/usr/bin/env dotnet
// Keeps the first token as if it were a password.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35

using Azure.Core;
using Azure.Identity;
using StackExchange.Redis;
using StackExchange.Redis.Configuration;

var host = Environment.GetEnvironmentVariable("REDIS_HOST");
var port = Environment.GetEnvironmentVariable("REDIS_PORT");

var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var token = await credential.GetTokenAsync(new TokenRequestContext(["https://redis.azure.com/.default"]), default);
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = new AzureManagedRedisOptionsProvider();
options.User = Environment.GetEnvironmentVariable("REDIS_USERNAME");
options.Password = token.Token;

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine("connected");
await Task.Delay(token.ExpiresOn - DateTimeOffset.UtcNow + TimeSpan.FromSeconds(3));
await redis.GetDatabase().PingAsync();
