"""The hand-written part of the tool pool: things to look up and things to do."""
# ruff: noqa: E501  (one row is one line)

# what | of which kind of parameter | what that kind is called | its result
LOOKUPS = """
weather|city|city|weather
temperature|city|place|degrees
humidity|city|city|percent
population|city|city|number
local time|city|city|time
time zone|city|city|word
air quality|city|city|quality
sunrise time|city|place|time
mayor|city|town|person
hotel prices|city|city|price
capital|country|country|city
currency|country|country|word
national dish|country|country|word
area|country|country|number
price|noun|product|price
stock level|noun|product|number
weight|noun|item|number
colour|noun|product|word
rating|title|movie|rating
director|title|movie|person
author|title|book|person
page count|title|book|number
release date|title|song|date
lyrics|title|song|text
calories|food|dish|number
ingredients|food|dish|list
recipe|food|dish|text
definition|word|word|text
synonyms|word|word|list
plural|word|word|word
phone number|person|person|phone
email address|person|person|email
birthday|person|person|date
address|person|person|text
manager|person|employee|person
salary|person|employee|price
calendar|person|person|list
status|code|order|status
delivery date|code|order|date
invoice|code|customer|price
balance|code|account|price
location|code|parcel|city
departure time|code|train|time
gate|code|flight|word
delay|code|flight|minutes
file size|path|file|number
owner|path|file|person
line count|path|file|number
opening hours|title|shop|text
score|title|team|number
battery level|noun|device|percent
room temperature|room|room|degrees
light state|room|room|status
exchange rate|from_currency|currency|number
events|day|day|list
holidays|country|country|list
news|topic|topic|text
best price|noun|product|price
warranty|noun|device|date
menu|title|restaurant|list
"""

# action | names | params (role:kind, "?" marks optional) | questions | optional phrases | result
ACTIONS = """
send an email|send_email email_send mail_to compose_email|to:email body:message|Send an email to {to} saying {body};Email {to}: {body};Write an email to {to} with the text {body}||sent
send a message|send_message message_send text_person send_chat|to:recipient body:message|Send {to} the message {body};Tell {to}: {body};Message {to} saying {body};Text {to} that {body};Send a message to {to} saying {body}||sent
send a text message|send_sms sms text_number|to:phone body:message|Send an SMS to {to} saying {body};Text the number {to}: {body};Send the text {body} to {to}||sent
call a person|make_call call_person phone_call dial|who:person|Call {who};Please phone {who};Ring {who};I want to talk to {who} on the phone||sent
set a timer|set_timer start_timer timer_create new_timer|m:minutes label:noun?|Set a timer for {m} minutes;Start a timer of {m} minutes;Wake me in {m} minutes;Count down {m} minutes|label= for the {label}|done
set an alarm|set_alarm alarm_set create_alarm|t:time day:day?|Set an alarm for {t};Wake me at {t};Please set the alarm to {t}|day= on {day}|done
add a reminder|add_reminder remind_me create_reminder|what:message t:time?|Remind me: {what};Add a reminder saying {what};Create a reminder: {what}|t= at {t}|done
create an event|create_event add_event calendar_add schedule_event|title:title date:date time:time?|Create an event called {title} on {date};Add {title} to my calendar on {date};Put {title} in the calendar on {date}|time= at {time}|created
cancel an event|cancel_event event_cancel remove_event|title:title|Cancel the event {title};Remove the event {title} from my calendar;Please cancel {title}||done
schedule a meeting|schedule_meeting plan_meeting meeting_create|who:names t:time|Schedule a meeting with {who} at {t};Plan a meeting at {t} with {who};Set up a meeting with {who} for {t}||created
add to the shopping list|add_to_list shopping_add add_item list_add|item:noun n:count?|Add {item} to the shopping list;Put {item} on my shopping list;I need {item} on the shopping list|n=, quantity {n}|done
add several things to the list|add_items add_many bulk_add|items:things|Add {items} to the list;Put {items} on the list;I need {items} on the list||done
remove from the list|remove_from_list list_remove delete_item|item:noun|Remove {item} from the list;Take {item} off the list;Delete {item} from my list||done
order a product|order_product place_order buy_item order_item|n:count item:noun|Order {n} of the {item};Buy {n} pieces of {item};I want to order {n} times {item};Place an order for {n} of {item}||order
cancel an order|cancel_order order_cancel stop_order|id:code|Cancel order {id};Please cancel the order {id};Stop my order {id}||done
track a parcel|track_parcel parcel_track track_package|id:code|Track the parcel {id};Where is my parcel {id}?;Follow the package {id}||status
book a table|book_table reserve_table table_reservation|place:title n:people t:time|Book a table at {place} for {n} people at {t};Reserve a table for {n} at {place} at {t};I want a table for {n} people at {place} at {t}||order
book a hotel|book_hotel reserve_hotel hotel_booking|city:city n:days stars:count?|Book a hotel in {city} for {n} nights;Reserve a hotel in {city} for {n} nights;I need a hotel in {city} for {n} nights|stars= with {stars} stars|order
search flights|search_flights find_flights flight_search|a:origin b:destination d:date?|Find flights from {a} to {b};Search a flight from {a} to {b};I want to fly from {a} to {b};Which flights go from {a} to {b}?|d= on {d}|list
find a route|find_route get_directions route_plan navigate|a:origin b:destination mode:choice(car,train,bike,walk)?|How do I get from {a} to {b}?;Find a route from {a} to {b};Give me directions from {a} to {b}|mode= by {mode}|text
measure the distance|get_distance distance_between measure_distance|a:origin b:destination|How far is it from {a} to {b}?;What is the distance from {a} to {b}?;Measure the distance from {a} to {b}||number
forecast the weather|get_forecast weather_forecast forecast|place:city n:days unit:choice(celsius,fahrenheit)?|What is the forecast for {place} for the next {n} days?;Forecast the weather in {place} for {n} days;Give me a {n} day forecast for {place}|unit= in {unit}|weather
convert currency|convert_currency currency_convert exchange_money|x:amount a:from_currency b:to_currency|Convert {x} {a} to {b};How much is {x} {a} in {b}?;Change {x} {a} into {b};What are {x} {a} in {b}?||number
convert units|convert_units unit_convert convert|x:number a:choice(kilometres,metres,kilograms,litres) b:choice(miles,feet,pounds,gallons)|Convert {x} {a} to {b};How many {b} are {x} {a}?;What are {x} {a} in {b}?||number
add two numbers|add_numbers add sum_two calc_add|a:int_a b:int_b|What is {a} + {b}?;Add {a} and {b};{a} plus {b};Use the tool to add {a} and {b}||number
multiply two numbers|multiply mul times calc_multiply|a:int_a b:int_b|What is {a} * {b}?;Multiply {a} by {b};{a} times {b};Use the tool to multiply {a} and {b}||number
evaluate an expression|calculator calculate eval_expression compute math|e:expression|Calculate {e};What is {e}?;Compute {e};Evaluate {e};How much is {e}?||number
compute the mean|mean average compute_average|v:integers|What is the average of {v}?;Compute the mean of {v};Give me the mean of {v}||number
sort numbers|sort_numbers number_sort order_values|v:integers down:flag?|Sort the numbers {v};Put {v} in order;Please sort {v}|down=, descending {down}|list
take a square root|square_root sqrt root|x:number|What is the square root of {x}?;Take the root of {x};Compute the square root of {x}||number
translate text|translate translate_text translator|text:message lang:language|Translate {text} into {lang};How do you say {text} in {lang}?;Put {text} into {lang};Say {text} in {lang}||text
play music|play_music play_song music_play|song:title vol:level?|Play {song};Play the song {song};I want to hear {song};Put on {song}|vol= at volume {vol}|done
stop the music|stop_music music_stop pause_music||Stop the music;Please pause the music;Turn the music off;No more music please||done
set the volume|set_volume volume_set change_volume|v:level|Set the volume to {v};Volume {v} please;Change the volume to {v} percent||done
turn a light on or off|set_light switch_light light_control|room:room on:onoff|Switch the light in the {room} {on};Turn {on} the light in the {room};Light in the {room} {on} please||done
dim a light|dim_light set_brightness brightness|room:room v:level color:colour?|Dim the light in the {room} to {v} percent;Set the brightness in the {room} to {v};Make the {room} light {v} percent bright|color= in {color}|done
set the temperature|set_temperature heat_room thermostat_set|room:room x:degrees|Set the {room} to {x} degrees;Heat the {room} to {x} degrees;Make the {room} {x} degrees warm;Set the temperature in the {room} to {x}||done
lock the door|lock_door door_lock secure_door|room:room on:switch?|Lock the door of the {room};Please lock the {room} door;Close and lock the {room}||done
take a photo|take_photo camera_shoot snap_picture|n:count? flash:flag?|Take a photo;Make a picture;Please shoot a photo|n=, {n} times;flash= with flash {flash}|file
read a file|read_file open_file cat_file file_read|p:path|Read the file {p};Show me {p};What is in {p}?;Open {p};Print the file {p}||text
write a file|write_file save_file file_write|p:path text:message|Write {text} into {p};Save the text {text} in {p};Create the file {p} with the content {text}||done
delete a file|delete_file remove_file rm_file|p:path force:flag?|Delete {p};Remove the file {p};Please erase {p}|force= with force {force}|done
list a folder|list_files list_folder ls dir_list|p:path? hidden:flag?|List the files;Which files are there?;Show the folder|hidden= with hidden files {hidden}|list
run a command|run_command shell exec_command bash|cmd:choice(ls,pwd,make,date,git_status,pytest,whoami)|Run the command {cmd};Execute {cmd};Please run {cmd} in the shell||text
search the web|search_web web_search google search|q:topic n:count?|Search the web for {q};Google {q};Look up {q} on the internet;Find pages about {q}|n=, {n} results|list
take a note|add_note take_note note_create|text:message|Note down: {text};Take a note saying {text};Write a note: {text}||done
roll dice|roll_dice dice_roll throw_dice|n:count sides:high?|Roll {n} dice;Throw {n} dice;Please roll {n} dice for me|sides= with {sides} sides|list
pick a random number|random_number rand_int pick_number|a:low b:high|Give me a random number between {a} and {b};Pick a number from {a} to {b};Random number between {a} and {b}||number
make a password|make_password generate_password password_create|n:count symbols:flag?|Make a password of {n} characters;Generate a password with {n} letters;I need a password of length {n}|symbols=, symbols {symbols}|word
create a user|create_user add_user register_user|name:person mail:email admin:flag?|Create a user {name} with the email {mail};Register {name} with {mail};Add the user {name}, email {mail}|admin=, admin {admin}|created
open a ticket|open_ticket create_issue report_bug|t:message prio:choice(low,medium,high,urgent)?|Open a ticket: {t};Report this problem: {t};Create an issue saying {t}|prio= with priority {prio}|created
pay a bill|pay_bill transfer_money send_money|x:amount to:recipient cur:to_currency?|Pay {x} to {to};Transfer {x} to {to};Send {to} the sum of {x}|cur= in {cur}|done
water the plants|water_plants irrigate plants_water|where:room m:minutes?|Water the plants in the {where};The plants in the {where} need water;Please water the {where} plants|m= for {m} minutes|done
"""

# first lookup | second tool | the role that takes the result | how the user says it
CHAINS = """
email address|send an email|to|and send an email there saying {body};and email that address: {body};then write an email to it saying {body}
phone number|send a text message|to|and text it: {body};and send an SMS there saying {body};then send the text {body} to that number
capital|weather|x|and tell me the weather there;and then check the weather in it;then get its weather
capital|population|x|and tell me its population;and then find how many people live there
location|weather|x|and tell me the weather there;then check the weather in that city
manager|send a message|to|and send them the message {body};then tell them: {body}
owner|send a message|to|and send them the message {body};and tell that person: {body}
mayor|phone number|x|and find the phone number of that person;then get their phone number
author|birthday|x|and tell me the birthday of that person;then find when they were born
director|email address|x|and get the email address of that person;then find their email address
"""

VERBS = """
start stop open close clean paint move rotate lift lower heat cool charge reset launch build mix
bake scan print copy merge split polish inspect repair feed wash fold load unload mark tag upload
download archive compress encrypt deploy restart update calibrate measure fill empty shake freeze
""".split()
GENERIC = [("level", "level"), ("speed", "count"), ("count", "count"), ("size", "number"),
           ("ratio", "number"), ("force", "flag"), ("quiet", "flag"), ("mode", "choice"),
           ("name", "person"), ("label", "title"), ("target", "city"), ("note", "message"),
           ("code", "code"), ("color", "colour"), ("tags", "things"), ("values", "integers"),
           ("date", "date"), ("owner", "person"), ("weight", "amount"), ("style", "choice")]
MODES = ["fast", "slow", "safe", "full", "quick", "deep", "soft", "hard", "auto", "manual", "eco",
         "turbo", "small", "large", "short", "long", "basic", "strict", "loose", "daily", "weekly"]
