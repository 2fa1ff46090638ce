#!/usr/bin/env dotnet
// Must fail its judge: gives every connection a new token, and signs none in again.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35

using System.Buffers.Text;
using System.Runtime.InteropServices;
using System.Text.Json;
using Azure.Core;
using Azure.Identity;
using StackExchange.Redis;
using StackExchange.Redis.Configuration;

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

var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = new NewTokenAtConnect(new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned));

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var database = redis.GetDatabase();

var roundTrips = 0;
while (!stop.IsCancellationRequested)
{
    await database.StringSetAsync("round-trips", roundTrips);
    var stored = (int)await database.StringGetAsync("round-trips");
    if (stored != roundTrips)
    {
        throw new InvalidOperationException($"wrote {roundTrips} and read {stored}");
    }
    roundTrips++;
    await Task.Delay(150);
}
Console.WriteLine($"{roundTrips} round trips on one connection, none failed.");

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
