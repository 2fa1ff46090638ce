#!/usr/bin/env dotnet
// Many tasks share one connection to Azure Managed Redis while its token is renewed, until the program is
// told to stop.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using System.Runtime.InteropServices;
using Azure.Identity;
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
var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(credential);

// One for the whole program. It sends the commands of all tasks over one connection, so there is no pool.
await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var database = redis.GetDatabase();

var commands = 0;
async Task WorkAsync(int task)
{
    while (!stop.IsCancellationRequested)
    {
        await database.StringIncrementAsync($"task:{task}");
        Interlocked.Increment(ref commands);
        await Task.Delay(20);
    }
}
await Task.WhenAll(Enumerable.Range(0, 40).Select(WorkAsync));
Console.WriteLine($"{commands} commands of 40 tasks on one connection, none failed");
// ANCHOR_END: shown
