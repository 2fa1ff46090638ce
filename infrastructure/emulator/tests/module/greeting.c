/* A module with one command, for the tests: what RedisJSON and the like do, as small as it can be. The engine's own header is not
   needed for that: the first member of the context is the function that gives all others. */
#include <stddef.h>

typedef struct Context { int (*get_api)(const char *, void *); } Context;

static int (*set_attributes)(Context *, const char *, int, int);
static int (*create_command)(Context *, const char *, int (*)(Context *, void **, int), const char *, int, int, int);
static int (*reply)(Context *, const char *);

static int greet(Context *context, void **arguments, int count) {
  (void)arguments;
  (void)count;
  return reply(context, "hello from a module");
}

int RedisModule_OnLoad(Context *context, void **arguments, int count) {
  (void)arguments;
  (void)count;
  int (*get_api)(const char *, void *) = context->get_api;
  if (get_api("RedisModule_SetModuleAttribs", (void *)&set_attributes) != 0 ||
      get_api("RedisModule_CreateCommand", (void *)&create_command) != 0 ||
      get_api("RedisModule_ReplyWithSimpleString", (void *)&reply) != 0)
    return 1;
  set_attributes(context, "greeting", 1, 1);
  return create_command(context, "greeting.say", greet, "readonly fast", 1, 1, 1);
}
