/* Stands for any program that listens on $PORT: it answers every request with one line. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 29\r\nConnection: close\r\n\r\n"
    "Hello! This is any program.\r\n";

int main(void) {
    const char *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 8080)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0) {
        perror("listen");
        return 1;
    }
    printf("listens on port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        char request[8192];
        size_t length = 0;
        ssize_t got = 0;
        /* The head is enough: the body makes no difference to the answer. */
        while (length < sizeof request - 1 && (got = read(client, request + length, sizeof request - 1 - length)) > 0) {
            length += (size_t)got;
            request[length] = '\0';
            if (strstr(request, "\r\n\r\n") != NULL) {
                break;
            }
        }
        if (got > 0 && write(client, ANSWER, sizeof ANSWER - 1) < 0) {
            perror("write");
        }
        shutdown(client, SHUT_WR);
        close(client);
    }
}
