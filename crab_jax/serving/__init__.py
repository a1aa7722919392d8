"""An OpenAI-style server for one model: slots, scheduler, HTTP, a page."""
