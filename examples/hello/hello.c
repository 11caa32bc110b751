/* A small real program: a page over HTTP, or a line on the terminal. One static file, so its image needs nothing else. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef BUILT_BY
#define BUILT_BY "cc"
#endif

static const char page[] = "hello from an image built by " BUILT_BY "\n";

/* Answers every request on 127.0.0.1:port with the page. Returns only when the socket cannot be used. */
static int serve(unsigned short port)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    signal(SIGPIPE, SIG_IGN);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
        perror("hello");
        return 1;
    }
    for (;;) {
        char request[1024];
        int client = accept(listener, NULL, NULL);

        if (client < 0)
            continue;
        if (read(client, request, sizeof request) > 0)
            dprintf(client, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(page), page);
        close(client);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve((unsigned short)atoi(argv[2]));
    if (argc != 1) {
        fprintf(stderr, "usage: hello [serve PORT]\n");
        return 2;
    }
    fputs(page, stdout);
    return 0;
}
