#include "interruption.h"

#include <signal.h>
#include <unistd.h>

#include <csignal>

#include "cli.h"

namespace kvgauge::cli {
namespace {

volatile std::sig_atomic_t graceful = 0, request = 0;  // the signal that asks

void on_signal(int number) {
  if (!graceful || request != 0) ::_exit(kInterrupted);
  request = number;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: a read that waits for input returns
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);
}

GracefulInterruption::GracefulInterruption() { graceful = 1; }
GracefulInterruption::~GracefulInterruption() { graceful = 0; }
bool GracefulInterruption::requested() const { return request != 0; }
bool GracefulInterruption::terminated() const { return request == SIGTERM; }

void GracefulInterruption::forget() {
  if (request == SIGINT) request = 0;
}

}  // namespace kvgauge::cli
