#!/usr/bin/env dotnet
// A web application that counts its visits, and whose instances share cached pages, in Azure Managed Redis.
// It serves at the port that PORT names.
#:sdk Microsoft.NET.Sdk.Web
#:package Azure.Identity@1.21.0
#:package Microsoft.AspNetCore.OutputCaching.StackExchangeRedis@10.0.14
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(credential);
// One for everything: whatever in ASP.NET Core keeps something in Redis takes a multiplexer.
await using var redis = await ConnectionMultiplexer.ConnectAsync(options);

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.UseUrls($"http://+:{builder.Configuration["PORT"] ?? "8080"}");
builder.Services.AddSingleton<IConnectionMultiplexer>(redis);
builder.Services.AddOutputCache();
builder.Services.AddStackExchangeRedisOutputCache(cache =>
    cache.ConnectionMultiplexerFactory = () => Task.FromResult<IConnectionMultiplexer>(redis));

var app = builder.Build();
app.UseOutputCache();
app.MapGet("/", async (IConnectionMultiplexer redis) =>
        $"visit {await redis.GetDatabase().StringIncrementAsync("visits")}\n")
    .CacheOutput(page => page.Expire(TimeSpan.FromSeconds(1)));
await app.RunAsync();
// ANCHOR_END: shown
