#!/usr/bin/env dotnet
// Gives every connection a new token, and signs none in again.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35

using System.Buffers.Text;
using System.Text.Json;
using Azure.Core;
using Azure.Identity;
using StackExchange.Redis;
using StackExchange.Redis.Configuration;

var host = Environment.GetEnvironmentVariable("REDIS_HOST");
var port = Environment.GetEnvironmentVariable("REDIS_PORT");

var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = new NewTokenAtConnect(new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned));
options.AbortOnConnectFail = true;

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var lost = new TaskCompletionSource<ConnectionFailedEventArgs>();
var back = new TaskCompletionSource<ConnectionFailedEventArgs>();
redis.ConnectionFailed += (_, it) => lost.TrySetResult(it);
redis.ConnectionRestored += (_, it) => back.TrySetResult(it);

// No command is on its way when it happens, so none fails.
var (cut, restored) = (await lost.Task, await back.Task);
Console.WriteLine($"{cut.ConnectionType} connection lost: {cut.FailureType}");
Console.WriteLine($"{restored.ConnectionType} connection is back");
await redis.GetDatabase().PingAsync();

sealed class NewTokenAtConnect(TokenCredential credential) : AzureManagedRedisOptionsProvider
{
    public override string Password => credential.GetToken(new(["https://redis.azure.com/.default"]), default).Token;

    public override string User
    {
        get
        {
            using var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(Password.Split('.')[1]));
            return claims.RootElement.GetProperty("oid").GetString()!;
        }
    }
}
