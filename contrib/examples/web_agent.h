/* web_agent.h: the class WebAgent, which dist_main uses and dist_server runs. */
#ifndef WEB_AGENT_H
#define WEB_AGENT_H

#include <asqueue.h>

extern const asq_class web_agent_class;

#endif
