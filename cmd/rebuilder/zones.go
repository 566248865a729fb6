package main

import _ "time/tzdata" // the time zones of [refresh], on machines that do not have them
