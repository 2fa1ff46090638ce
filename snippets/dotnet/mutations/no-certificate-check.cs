#!/usr/bin/env dotnet
// Must fail its judge: accepts any certificate.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include ../EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);

var options = ConfigurationOptions.Parse($"{host}:{port}");
// Fetches a token now, and the next one before it expires.
options.Defaults = await EntraIdProvider.CreateAsync(credential);
#pragma warning disable CA5359 // Just that is to be caught.
options.CertificateValidation += (_, _, _, _) => true;

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
